"""Whole sentences: who wishes to leave, who wishes to stay, and who means a course."""

from __future__ import annotations

import base64

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import Facts, recognise
from mailbot.data import load_vocabulary

FACTS = Facts(vocabulary=load_vocabulary())


def verdict(subject: str) -> str:
    encoded = base64.b64encode(subject.encode()).decode()
    mail = (
        "From: Ann <ann@example.org>\nTo: help@shop.example\nMessage-ID: <1@example.org>\n"
        f"Subject: =?utf-8?b?{encoded}?=\n\nHello.\n"
    )
    return recognise(read_message(mail.encode()), FACTS).name


@pytest.mark.parametrize(
    "subject",
    [
        "We have had enough of your adverts",
        "Could somebody cease sending promotional letters by email",
        "I revoke permission to email me offers",
        "Ich verbitte mir weitere Werbung",
        "Nehmt meine Adresse bitte aus eurem Mailverteiler",
        "Ras-le-bol de vos pubs",
        "Je m'oppose à toute prospection",
        "Ya estoy harto de su propaganda",
        "Saquen mi dirección de su base de datos",
        "Estou cansado de propaganda",
        "Oponho-me ao envio de publicidade",
        "Sono stanca della vostra pubblicità",
        "Mi oppongo alle comunicazioni commerciali",
        "Haal mijn adres uit jullie database",
        "Ik maak bezwaar tegen jullie mailings",
        "Mam dosyć tego spamu",
        "Sprzeciwiam się otrzymywaniu reklam",
        "Jag undanber mig er marknadsföring",
        "Возражаю против вашей рекламы",
        "Надоели ваши рекламные письма",
        "広告メールにうんざりです",
        "对你们的广告不感兴趣",
        "Jeg frabeder mig reklamer",
        "Jeg reserverer meg mot reklame",
        "Riittää, lopettakaa mainokset",
        "Mám dost vašich reklam",
        "Reklamlarınızı istemiyorum",
        "Набридла ваша реклама",
        "광고 메일이 싫어요",
        "Elegem van a reklámokból",
        "M'oposo a rebre publicitat",
    ],
)
def test_enough_of_it_and_objections_are_wishes_to_leave(subject: str) -> None:
    assert verdict(subject) == "opt_out"


@pytest.mark.parametrize(
    "subject",
    [
        "Newsletter - no thanks",
        "Newsletter – nein danke",
        "Boletín, no gracias",
        "Nieuwsbrief: nee bedankt",
        "Niet geïnteresseerd, verwijder mij",
        "Не интересует, удалите мой адрес",
        "Fwd: Gifts for mothers - stop sending these",
        "AW: Zurück in die Schule - abmelden bitte",
        "RV: Regalos - no me interesa, eliminar",
        "轉寄: 母親節禮物 - 請不要再寄",
    ],
)
def test_so_are_no_thank_you_and_what_is_added_to_an_offer(subject: str) -> None:
    assert verdict(subject) == "opt_out"


@pytest.mark.parametrize(
    "subject",
    [
        "I never asked to be taken off the list",
        "Ich wollte nie vom Newsletter abgemeldet werden",
        "Je n'ai jamais demandé à être désinscrit",
        "Nunca pedí que me dieran de baja",
        "Ik heb nooit gevraagd om uitgeschreven te worden",
        "Har aldrig bett om att bli avregistrerad",
        "我从没要求退订",
        "Please don't stop the newsletter",
        "I'd like to stay on your list, take off my husband only",
        "Bitte meine Adresse nicht aus dem Verteiler streichen",
        "Ich möchte den Newsletter weiterhin bekommen, nicht abmelden",
        "Ne retirez pas mon adresse de la liste",
        "Je souhaite continuer à recevoir la newsletter",
        "No borren mi correo de la lista",
        "Quiero seguir en la lista, no me den de baja",
        "Não cancelem a newsletter",
        "Non togliete la mia email dalla lista",
        "Nieuwsbrief niet stopzetten aub",
        "Nie anulujcie mojego newslettera",
        "Ta inte bort min adress från listan",
        "Не отключайте мне рассылку",
        "Хочу остаться в рассылке, не удаляйте",
        "リストから外さないでください",
        "请不要把我从名单中删除",
        "Slet mig ikke fra listen",
        "Nevymazujte ma zo zoznamu",
        "Lütfen aboneliğimi iptal etmeyin",
        "Ne töröljenek a listáról",
        "Nu mă ștergeți din listă",
        "Μην με διαγράφετε",
        "אל תמחקו אותי מהרשימה",
        "لا تحذفوني من القائمة",
    ],
)
def test_who_wants_to_stay_is_asked_about(subject: str) -> None:
    assert verdict(subject) == "review"


@pytest.mark.parametrize(
    "subject",
    [
        "Das will ich nicht, bitte aus dem Verteiler löschen",
        "Ich kann mich nicht vom Newsletter abmelden",
        "Warum löschen Sie mich nicht aus dem Verteiler?",
        "No quiero seguir recibiendo el boletín",
        "Je ne souhaite plus continuer à recevoir la newsletter",
        "Non voglio più rimanere iscritto, cancellatemi",
        "Не хочу остаться в рассылке, удалите меня",
        "I don't want to stay on this list, remove me",
        "I never asked for this newsletter, unsubscribe me",
        "Non ho mai chiesto questa newsletter, cancellatemi",
        "Я не просил присылать рекламу, отпишите",
    ],
)
def test_a_no_that_refuses_something_else_is_no_refusal(subject: str) -> None:
    assert verdict(subject) == "opt_out"


@pytest.mark.parametrize(
    "subject",
    [
        "Désinscription de ma fille du cours de danse",
        "Afmelden zwemles",
        "Zrušit odběr krmiva",
        "Zrušiť odber krmiva",
        "Cancelar suscripción comida de perro",
        "Cancelar inscrição no ginásio",
        "Wypisanie dziecka z zajęć",
        "Cofnięcie zgody na obciążanie karty",
        "Avanmäla mitt barn från simskolan",
        "Afmelde barn fra svømning",
        "Удалить ребёнка из списка секции",
        "Отменить подписку на журнал",
        "Dergi aboneliği iptal",
        "取消咖啡订阅盒",
        "잡지 구독 취소",
        "إلغاء اشتراك المجلة",
    ],
)
def test_courses_food_and_magazines_are_another_world(subject: str) -> None:
    assert verdict(subject) == "unrelated"


@pytest.mark.parametrize(
    "subject",
    [
        "Exclusive newsletter offer inside!",
        "I'm tired of waiting for my parcel, no answer to my mails",
        "Stuur het pakket niet naar huis",
        "受够了等快递",
        "Star Trek newsletter: where do I sign up?",
        "Slippers from your newsletter in size 40?",
        "Retirement gift from your mailing",
        "Please remove the promo code from my order",
        "Plus de promotions cette semaine ?",
        "Bestellung stoppen, Newsletter-Rabatt vergessen",
        "Ihre Mail lag im Spam, wo ist die Rechnung?",
        "Wasz mail trafił do spamu, gdzie faktura?",
        "没有收到优惠邮件",
    ],
)
def test_a_stem_of_one_language_is_no_word_of_another(subject: str) -> None:
    assert verdict(subject) == "unrelated"


@pytest.mark.parametrize(
    "subject",
    [
        "Unsubscribe my daughter from the sewing course",
        "unsubscribe dog food",
        "UNSUBSCRIBE magazine",
    ],
)
def test_the_promised_word_is_heard_whatever_it_is_about(subject: str) -> None:
    assert verdict(subject) in ("opt_out", "review")


def test_a_bare_subscription_of_something_unknown_is_asked_about() -> None:
    assert verdict("Cancelar suscripción") == "opt_out"
    assert verdict("Cancelar suscripción a sus correos") == "opt_out"
    assert verdict("Cancelar suscripción velas aromáticas") == "review"
